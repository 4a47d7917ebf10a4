/** A renderer under test. Deltas come as they are read; `prefill` is text that is there before the measurement. */
export interface Approach {
  prefill: (text: string) => void;
  delta: (text: string) => void;
  end: () => void;
}

declare global {
  interface Window {
    prepare: (prefill: string) => Promise<void>;
    stream: (watch: boolean) => Promise<object>;
  }
}

export function run(make: (target: HTMLElement) => Approach): void {
  const target = document.querySelector<HTMLElement>("#answer");
  const scroller = document.querySelector<HTMLElement>("#scroller");
  if (!target || !scroller) throw new Error("The page has lost its elements.");
  new ResizeObserver(() => (scroller.scrollTop = scroller.scrollHeight)).observe(target);
  const approach = make(target);

  window.prepare = async (prefill) => {
    if (prefill) approach.prefill(prefill);
    await frames(60);
  };
  window.stream = async (watch) => {
    const watching = watch ? watchText(target) : null;
    await read(await fetch("stream"), (delta) => {
      watching?.note(delta);
      approach.delta(delta);
    });
    const endedAt = performance.now();
    approach.end();
    return (await watching?.finish(endedAt)) ?? {};
  };
}

async function read(response: Response, onDelta: (delta: string) => void): Promise<void> {
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream() as never).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = (await reader.read()) as { done: boolean; value: string };
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onDelta((JSON.parse(line) as { t: string }).t);
  }
}

/** Looks at the text in every frame. */
function watchText(target: HTMLElement) {
  const MARK = /m\d+x/g;
  const watch = {
    /** When each mark arrived, and the frame in which it was first on screen, in milliseconds. */
    arrived: new Map<string, number>(),
    seen: new Map<string, number>(),
    /** The frames in which the text had changed. */
    paints: [] as number[],
    /** Frames in which there was less text than in the one before: raw syntax had been shown and vanished. */
    shrinks: 0,
  };
  const unseen: string[] = [];
  let received = "";
  let scanned = 0;
  let before = target.textContent ?? "";
  let running = true;
  // Looked at behind the frame, when all that is painted in it has been: whoever draws in a frame callback counts in that frame.
  const channel = new MessageChannel();
  let now = 0;
  const frame = (time: number): void => {
    now = time;
    channel.port2.postMessage(null);
    if (running) requestAnimationFrame(frame);
  };
  channel.port1.onmessage = (): void => {
    const text = target.textContent ?? "";
    if (text !== before) {
      watch.paints.push(now);
      if (text.length < before.length) watch.shrinks++;
      before = text;
      const shown = new Set(text.slice(-4000).match(MARK));
      for (let i = unseen.length - 1; i >= 0; i--) {
        const mark = unseen[i] ?? "";
        if (shown.has(mark)) {
          watch.seen.set(mark, now);
          unseen.splice(i, 1);
        }
      }
    }
  };
  requestAnimationFrame(frame);
  return {
    note(delta: string) {
      received += delta;
      MARK.lastIndex = scanned;
      for (let match = MARK.exec(received); match; match = MARK.exec(received)) {
        watch.arrived.set(match[0], performance.now());
        unseen.push(match[0]);
        scanned = MARK.lastIndex;
      }
    },
    async finish(endedAt: number) {
      const deadline = performance.now() + 60_000;
      let still = 0;
      for (let last = watch.paints.length; still < 30 && performance.now() < deadline; ) {
        await frames(1);
        still = watch.paints.length === last ? still + 1 : 0;
        last = watch.paints.length;
      }
      running = false;
      const lags = [...watch.seen].map(([mark, at]) => Math.max(0, at - (watch.arrived.get(mark) ?? at)));
      const gaps = watch.paints.slice(1).map((at, i) => at - (watch.paints[i] ?? at));
      return {
        lags,
        gaps,
        unseen: unseen.length,
        shrinks: watch.shrinks,
        paints: watch.paints.length,
        drainMs: (watch.paints.at(-1) ?? endedAt) - endedAt,
      };
    },
  };
}

async function frames(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => requestAnimationFrame(resolve));
}
