import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { IconButton } from "./icons";
import type { PdfDocument } from "./pdf";
import { type Shown, useUi } from "./ui";

interface Props {
  address: string;
  shown: Shown;
  passage: string;
}

/**
 * One page of a PDF at a time, beginning with the one that is cited, else the one the passage begins on. PDF.js is loaded
 * when the first one is opened.
 */
export function PdfPages({ address, shown, passage }: Props): JSX.Element {
  const { t } = useUi();
  const first = shown.page ?? shown.source.page_start ?? 1;
  const [pdf, setPdf] = useState<PdfDocument | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const [page, setPage] = useState(first);
  const [drawn, setDrawn] = useState(0);
  const target = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => setPage(first), [shown, first]);

  useEffect(() => {
    let open: PdfDocument | null = null;
    let left = false;
    import("./pdf")
      .then(({ openPdf }) => openPdf(address))
      .then((opened) => {
        open = opened;
        if (left) opened.close();
        else setPdf(opened);
      })
      .catch((error: unknown) => setFailed(error instanceof Error ? error.message : String(error)));
    return () => {
      left = true;
      open?.close();
    };
  }, [address]);

  useEffect(() => {
    if (!pdf || !target.current || !body.current) return;
    const abort = new AbortController();
    pdf
      .draw(page, target.current, passage, abort.signal)
      .then((mark) => {
        if (abort.signal.aborted) return;
        setDrawn(page);
        if (mark && body.current) body.current.scrollTop = mark.offsetTop - body.current.clientHeight / 4;
        else if (body.current) body.current.scrollTop = 0;
      })
      .catch((error: unknown) => {
        if (!abort.signal.aborted) setFailed(error instanceof Error ? error.message : String(error));
      });
    return () => abort.abort();
  }, [pdf, page, passage]);

  return (
    <>
      <div class="pages">
        <IconButton icon="back" name={t("page_before")} disabled={page <= 1} onClick={() => setPage(page - 1)} />
        <span role="status">{pdf ? t("page_of", { page, count: pdf.pages }) : t("opening_source")}</span>
        <IconButton
          icon="forward"
          name={t("page_behind")}
          disabled={!pdf || page >= pdf.pages}
          onClick={() => setPage(page + 1)}
        />
      </div>
      <div ref={body} class="panel-body pdf" tabIndex={0} role="group" aria-label={t("page", { page })}>
        {failed !== null && <p class="panel-note">{t("pdf_failed", { reason: failed })}</p>}
        <div ref={target} class="pdf-page" data-page={drawn || undefined} />
      </div>
    </>
  );
}
