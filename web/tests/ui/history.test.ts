import { beforeEach, describe, expect, it } from "vitest";
import type { Api, ConversationSummary } from "../../core/api";
import type { Surroundings } from "../../core/reader";
import { History } from "../../ui/history";

/** A server with conversations that can be searched, renamed, deleted and brought back. */
class Server {
  titles = new Map([
    ["c1", "Mills by the river"],
    ["c2", "Wind mills"],
  ]);
  deleted = new Map<string, string>();

  conversations = (words = ""): Promise<ConversationSummary[]> =>
    Promise.resolve(
      [...this.titles]
        .filter(([, title]) => title.toLowerCase().includes(words.toLowerCase()))
        .map(([conversation_id, title]) => ({ conversation_id, title, created: 1, updated: 1 })),
    );
  rename = (id: string, title: string): Promise<void> => Promise.resolve(void this.titles.set(id, title));
  remove = (id: string): Promise<void> => {
    this.deleted.set(id, this.titles.get(id) ?? "");
    this.titles.delete(id);
    return Promise.resolve();
  };
  restore = (id: string): Promise<void> => Promise.resolve(void this.titles.set(id, this.deleted.get(id) ?? ""));
}

describe("the list of conversations while it is searched", () => {
  let history: History;
  const titles = (): string[] | undefined => history.state.found?.map((one) => one.title);

  beforeEach(async () => {
    const typed: (() => void)[] = [];
    const surroundings = { after: (_: number, action: () => void) => (typed.push(action), () => undefined) };
    history = new History(new Server() as unknown as Api, surroundings as unknown as Surroundings, () => undefined);
    await history.load();
    history.search("mills");
    typed[0]?.();
    await new Promise((resolve) => setTimeout(resolve));
    expect(titles()).toEqual(["Mills by the river", "Wind mills"]);
  });

  it("shows a hit by its new name", async () => {
    await history.rename("c2", "Mills in the wind");
    expect(titles()).toEqual(["Mills by the river", "Mills in the wind"]);
  });

  it("shows again what was deleted and brought back", async () => {
    const [first] = history.state.conversations;
    if (first) await history.remove(first);
    expect(titles()).toEqual(["Wind mills"]);
    await history.restore();
    expect(titles()).toContain("Mills by the river");
  });
});
