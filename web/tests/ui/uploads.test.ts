import { beforeEach, describe, expect, it } from "vitest";
import { type Api, Refusal, type StoredDocument, Unreachable } from "../../core/api";
import type { Surroundings } from "../../core/reader";
import { Uploads } from "../../ui/uploads";

const WAITING: StoredDocument = { document_id: "d", uri: "big.pdf", title: "big.pdf", state: "waiting" };

/** Lets everything happen that is only waiting for its turn. */
const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

describe("a file that takes long to read", () => {
  let answers: (StoredDocument | Error)[];
  let timers: { ms: number; fire: () => void }[];
  let asked: number;
  let uploads: Uploads;

  beforeEach(async () => {
    [answers, timers, asked] = [[], [], 0];
    const api = {
      upload: () => Promise.resolve(WAITING),
      documentState: () => {
        asked++;
        const answer = answers.shift();
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    };
    const surroundings = { after: (ms: number, fire: () => void) => (timers.push({ ms, fire }), () => undefined) };
    uploads = new Uploads(api as unknown as Api, surroundings as unknown as Surroundings, () => undefined);
    uploads.add([new File(["x"], "big.pdf")]);
    await turns();
    expect(states()).toEqual(["reading"]);
  });

  const states = (): string[] => uploads.state.files.map(({ state }) => state);
  const fire = async (): Promise<void> => {
    timers.shift()?.fire();
    await turns();
  };

  it("is looked at again, less and less often, until it has been read", async () => {
    answers = [...Array<StoredDocument>(6).fill(WAITING), { ...WAITING, state: "ready", remark: "A page is a picture." }];
    const waits: (number | undefined)[] = [];
    while (timers.length > 0) {
      waits.push(timers[0]?.ms);
      await fire();
    }
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    expect(uploads.state.files[0]).toMatchObject({ state: "ready", remark: "A page is a picture." });
  });

  it("says why it could not be read", async () => {
    answers = [{ ...WAITING, state: "failed", reason: "It is too large." }];
    await fire();
    expect(uploads.state.files[0]).toMatchObject({ state: "failed", reason: "It is too large." });
  });

  it("is looked at again when the network is back", async () => {
    answers = [new Unreachable(), { ...WAITING, state: "ready" }];
    await fire();
    expect(states()).toEqual(["reading"]);
    await fire();
    expect(states()).toEqual(["ready"]);
  });

  it("is asked for no more when the server has it no longer", async () => {
    answers = [new Refusal({ title: "Not found", status: 404, code: "no-document", detail: "There is no such document." })];
    await fire();
    expect(states()).toEqual(["failed"]);
    expect(timers).toEqual([]);
  });

  it("is forgotten when it is dismissed, or the page is gone", async () => {
    const [{ id } = { id: "" }] = uploads.state.files;
    uploads.dismiss(id);
    await fire();
    uploads.add([new File(["x"], "other.pdf")]);
    await turns();
    uploads.close();
    await fire();
    expect(asked).toBe(0);
    expect(timers).toEqual([]);
  });
});
