"""Sentences in many languages, with the encodings that their writers' older files are in."""

WESTERN = ("cp1252", "iso8859_1", "iso8859_15")
CENTRAL = ("cp1250", "iso8859_2")
CYRILLIC = ("cp1251", "iso8859_5")

SAMPLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "English": (
        ("cp1252",),
        (
            "The fee is £5 per day.",
            "“Smart quotes” are what the editor writes – and dashes, too.",
            "Our café is naïve about résumés.",
            "It’s due on Friday; the price is €20.",
        ),
    ),
    "French": (
        WESTERN,
        (
            "Le congé payé est fixé à vingt jours.",
            "Où est la clé ?",
            "Prêt à porter",
            "Voilà ce qui a été décidé.",
            "Les salariés doivent prévenir leur responsable dès que possible, même à l'étranger.",
        ),
    ),
    "Italian": (
        WESTERN,
        (
            "La qualità è garantita.",
            "Perché non è più così?",
            "Il preavviso è di due mesi per tutti.",
            "Città e libertà",
        ),
    ),
    "Portuguese": (
        WESTERN,
        (
            "A demissão não é possível antes de três meses.",
            "São Paulo",
            "Informações e condições",
            "O período de férias será definido até março.",
        ),
    ),
    "Spanish": (
        WESTERN,
        (
            "El año próximo habrá más días de vacaciones.",
            "¿Cuándo empezó la reunión?",
            "Información y educación",
            "España",
        ),
    ),
    "German": (
        WESTERN,
        (
            "Die Kündigungsfrist beträgt drei Monate.",
            "Größe und Maß",
            "Für Rückfragen stehen wir Ihnen zur Verfügung.",
            "Straße",
        ),
    ),
    "Dutch": (WESTERN, ("De coördinatie met België verloopt goed.", "Eén idee", "De reünie is geïnitieerd.")),
    "Swedish": (WESTERN, ("Semestern är tjugofem dagar per år.", "Så här gör du för att söka ledigt.", "Göteborg")),
    "Danish": (
        WESTERN,
        ("Ferien er på femogtyve dage om året.", "Hvis du bliver syg, må du ringe før klokken ni.", "Køb"),
    ),
    "Finnish": (WESTERN, ("Lomapäiviä kertyy kaksi ja puoli kuukaudessa.", "Työntekijällä on oikeus sairauslomaan.")),
    "Icelandic": (
        WESTERN,
        ("Starfsmenn eiga rétt á tuttugu og fjórum orlofsdögum á ári.", "Það er skylda að láta vita."),
    ),
    "Polish": (
        CENTRAL,
        (
            "Pracownicy mają prawo do dwudziestu dni urlopu.",
            "Łódź",
            "Proszę zgłosić nieobecność przełożonemu.",
            "Wynagrodzenie jest płatne miesięcznie.",
            "Książka i żółty ołówek",
        ),
    ),
    "Czech": (
        CENTRAL,
        (
            "Zaměstnanci mají nárok na dvacet dnů dovolené.",
            "Příliš žluťoučký kůň",
            "Výpovědní lhůta činí dva měsíce.",
            "Děkuji",
        ),
    ),
    "Slovak": (
        CENTRAL,
        ("Zamestnanci majú nárok na dvadsať dní dovolenky.", "Výpovedná lehota je dva mesiace, ak nie je určené inak."),
    ),
    "Hungarian": (
        CENTRAL,
        (
            "A munkavállalók húsz nap szabadságra jogosultak.",
            "A felmondási idő két hónap.",
            "Köszönöm szépen a gyűlést.",
            "Győr",
        ),
    ),
    "Croatian": (
        CENTRAL,
        (
            "Zaposlenici imaju pravo na dvadeset dana godišnjeg odmora.",
            "Otkazni rok počinje sljedeći mjesec, već prema ugovoru.",
        ),
    ),
    "Romanian": (
        CENTRAL,
        (
            "Angajaţii au dreptul la douăzeci de zile de concediu.",
            "Perioada de preaviz începe în luna următoare şi ţine două luni.",
        ),
    ),
    "Russian": (
        (*CYRILLIC, "koi8_r"),
        (
            "Сотрудники получают двадцать дней отпуска в год.",
            "Спасибо",
            "Зарплата выплачивается ежемесячно.",
            "Срок уведомления составляет две недели.",
            "Москва",
        ),
    ),
    "Ukrainian": (
        (*CYRILLIC, "koi8_u"),
        ("Працівники мають право на двадцять днів відпустки.", "Заробітна плата виплачується щомісяця."),
    ),
    "Bulgarian": (
        CYRILLIC,
        ("Служителите имат право на двадесет дни отпуск.", "Срокът на предизвестието е два месеца."),
    ),
    "Serbian": (CYRILLIC, ("Запослени имају право на двадесет дана одмора.", "Отказни рок почиње следећег месеца.")),
    "Greek": (
        ("cp1253", "iso8859_7"),
        (
            "Οι εργαζόμενοι δικαιούνται είκοσι ημέρες άδειας.",
            "Ευχαριστώ πολύ",
            "Η προθεσμία είναι δύο μήνες.",
            "Αθήνα",
        ),
    ),
    "Turkish": (
        ("cp1254", "iso8859_9"),
        (
            "Çalışanların yılda yirmi gün izin hakkı vardır.",
            "Teşekkür ederim, görüşürüz.",
            "İhbar süresi iki aydır ve değişmez.",
            "Eskişehir",
        ),
    ),
    "Hebrew": (
        ("cp1255", "iso8859_8"),
        ("לעובדים מגיעים עשרים ימי חופשה בשנה.", "תודה רבה", "יש להודיע שבועיים מראש."),
    ),
    "Arabic": (
        ("cp1256", "iso8859_6"),
        ("يحق للموظفين عشرون يوما من الإجازة في السنة.", "شكرا جزيلا", "يجب تقديم الطلب قبل أسبوعين."),
    ),
    "Lithuanian": (
        ("cp1257",),
        ("Darbuotojai turi teisę į dvidešimt dienų atostogų.", "Įspėjimo terminas yra du mėnesiai, jei nėra kitaip."),
    ),
    "Latvian": (
        ("cp1257",),
        ("Darbiniekiem pienākas divdesmit atvaļinājuma dienas gadā.", "Uzteikuma termiņš ir divi mēneši."),
    ),
    "Japanese": (
        ("shift_jis", "euc_jp"),
        ("従業員には年間二十日間の有給休暇が与えられます。", "給与は毎月支払われます。お問い合わせは人事部まで。"),
    ),
    "Chinese": (("gb18030",), ("员工每年有二十天的带薪假期。工资按月支付。", "休假申请应提前两周提交给人力资源部门。")),
    "Traditional Chinese": (("big5",), ("員工每年享有二十天帶薪休假。休假申請應提前兩週提交給人力資源部門。",)),
    "Korean": (
        ("euc_kr",),
        ("직원은 매년 이십 일의 유급 휴가를 받습니다.", "급여는 매월 지급됩니다. 문의는 인사부로 하세요."),
    ),
}


def samples() -> list[tuple[str, str, str]]:
    """(language, encoding, text) of every sentence, and of all of a language together, that the encoding can hold."""
    found = []
    for language, (encodings, texts) in SAMPLES.items():
        for encoding in encodings:
            for text in (*texts, " ".join(texts)):
                try:
                    data = text.encode(encoding)
                except UnicodeEncodeError:
                    continue
                if not data.isascii():
                    found.append((language, encoding, text))
    return found
