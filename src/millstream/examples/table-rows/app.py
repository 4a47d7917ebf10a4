"""Answers over the rows of a database table, cited row by row.

Open http://127.0.0.1:8000. Without a model it quotes the rows; with one it answers in its own words:

  OPENAI_API_KEY=… MILLSTREAM_MODEL=openai/gpt-4o-mini python app.py
"""

import sqlite3

import uvicorn

from millstream import ChatMessage, Millstream, Passage, Prompt, Run

PRODUCTS = [
    ("Trail shoe", "shoes", 95, "Light, with a grippy sole for wet rock."),
    ("Road shoe", "shoes", 80, "Soft and fast, for asphalt and dry paths."),
    ("Rain jacket", "clothing", 140, "Waterproof and breathable, packs into its own pocket."),
    ("Wool shirt", "clothing", 60, "Warm when wet, and does not smell after a week."),
]
SYSTEM = "Answer only from the numbered rows below. Put the row's number behind what you say: [1].\n\n"

database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE VIRTUAL TABLE products USING fts5(name, category, price UNINDEXED, text, tokenize=porter)")
database.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", PRODUCTS)

stream = Millstream()


def find(question: str, limit: int = 3) -> list[Passage]:
    """The rows that share most words with the question, as passages that an answer can cite."""
    words = " OR ".join(f'"{word}"' for word in "".join(c if c.isalnum() else " " for c in question).split())
    rows = database.execute(
        "SELECT rowid, name, category, price, text FROM products WHERE products MATCH ? ORDER BY rank LIMIT ?",
        (words or '""', limit),
    )
    passages = []
    for key, name, category, price, text in rows:
        row = f"{name} ({category}, {price} €): {text}"
        passages.append(Passage(f"product-{key}", f"product-{key}", "1", name, f"products/{key}", row))
    return passages


@stream.answer
async def answer(run: Run) -> None:
    async with run.step("search", "Looking through the products…") as step:
        passages = find(run.question)
        step.done(f"Found {len(passages)} products", query=run.question)
    run.cite(passages)
    rows = "\n".join(f"[{n}] {passage.text}" for n, passage in enumerate(passages, 1))
    prompt = Prompt([ChatMessage("system", SYSTEM + rows), *run.messages], question=run.question, passages=passages)
    await run.generate(stream.model, prompt)


app = stream.app

if __name__ == "__main__":
    uvicorn.run(app)
