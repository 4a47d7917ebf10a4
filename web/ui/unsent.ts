import { type Api, Refusal, type RunRequest } from "../core/api";
import type { Queues } from "./queue";

/** What the server may not have yet waits in a queue: that of its conversation, or of its run where that has no name. */
const RUN_PLACE = "run-";

export function isRunPlace(place: string | null): place is string {
  return place?.startsWith(RUN_PLACE) ?? false;
}

export function runOf(place: string): string {
  return place.slice(RUN_PLACE.length);
}

/** What a request is found by until the server has it. */
export function placeOf({ conversation_id: conversationId, run_id: runId }: RunRequest): string {
  return conversationId ?? RUN_PLACE + runId;
}

/** Takes out the first questions that earlier pages could not send, but for that of the place that is shown. */
export async function* takeUnsent(api: Api, queues: Queues, shown: string | null): AsyncGenerator<string, void> {
  for (const place of queues.places) {
    const [unsent] = queues.of(place);
    if (!unsent || !isRunPlace(place) || place === shown) continue;
    const isAsked = await api.snapshot(runOf(place)).then(
      () => true,
      (error: unknown) => (error instanceof Refusal ? false : null),
    );
    if (isAsked !== null && queues.take(place, unsent.id) && !isAsked) yield unsent.question;
  }
}
