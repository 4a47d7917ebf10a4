import { type Api, Refusal } from "../core/api";
import type { Snapshot } from "../core/fold";
import type { Surroundings } from "../core/reader";

/** A Stop that comes before its run: how often and how long it is tried. */
const TRIES = 7;
const FIRST_WAIT_MS = 150;

/**
 * Stops a run at `seen` code points of its answer, at all of them without. Returns what there is of it.
 *
 * A Stop may come before its run: then it is tried until there is something to stop. Throws `Refusal`, or what `fetch` throws.
 */
export async function stopRun(api: Api, { after }: Surroundings, runId: string, seen?: number): Promise<Snapshot> {
  for (let tries = 1; ; tries++) {
    try {
      return await api.stop(runId, seen);
    } catch (error) {
      const isEarly = error instanceof Refusal && error.problem.status === 404;
      if (!isEarly || tries === TRIES) throw error;
    }
    await new Promise<void>((resolve) => after(FIRST_WAIT_MS * 2 ** (tries - 1), resolve));
  }
}
