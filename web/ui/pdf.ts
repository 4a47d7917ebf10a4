import { getDocument, type PDFDocumentProxy, TextLayer, VerbosityLevel } from "pdfjs-dist";
import * as worker from "pdfjs-dist/build/pdf.worker.mjs";
import { findPassage } from "./passage";

// PDF.js takes the worker's code from here and runs it in the page: a worker of its own would need an address that
// neither Trusted Types nor a page of another origin allows.
(globalThis as { pdfjsWorker?: unknown }).pdfjsWorker = worker;

export interface PdfDocument {
  pages: number;
  /**
   * Draws page `page` (1-based) into `target`, as wide as that is, with its text above it, and marks the passage.
   * Returns the mark's first piece, if the passage is on that page. Throws what PDF.js throws.
   */
  draw: (page: number, target: HTMLElement, passage: string, signal: AbortSignal) => Promise<HTMLElement | undefined>;
  close: () => void;
}

/** Throws what PDF.js throws when it is not a PDF or cannot be had. */
export async function openPdf(address: string): Promise<PdfDocument> {
  const url = new URL(address, document.baseURI).href;
  const task = getDocument({ url, useWasm: false, enableXfa: false, verbosity: VerbosityLevel.ERRORS });
  const pdf = await task.promise;
  return {
    pages: pdf.numPages,
    draw: (page, target, passage, signal) => draw(pdf, page, target, passage, signal),
    close: () => void task.destroy(),
  };
}

async function draw(
  pdf: PDFDocumentProxy,
  number: number,
  target: HTMLElement,
  passage: string,
  signal: AbortSignal,
): Promise<HTMLElement | undefined> {
  const page = await pdf.getPage(number);
  const unscaled = page.getViewport({ scale: 1 });
  const viewport = page.getViewport({ scale: target.clientWidth / unscaled.width });
  const density = Math.min(devicePixelRatio, 2);
  const canvas = document.createElement("canvas");
  canvas.width = Math.floor(viewport.width * density);
  canvas.height = Math.floor(viewport.height * density);
  canvas.setAttribute("aria-hidden", "true");
  const drawing = page.render({ canvas, viewport, transform: [density, 0, 0, density, 0, 0] });
  const giveUp = (): void => drawing.cancel();
  signal.addEventListener("abort", giveUp);
  const text = document.createElement("div");
  text.className = "pdf-text";
  // PDF.js sizes and places the pieces by this. It follows the page when that becomes wider or narrower.
  const fit = (): void => {
    if (target.clientWidth > 0) text.style.setProperty("--total-scale-factor", String(target.clientWidth / unscaled.width));
  };
  fit();
  const layer = new TextLayer({ textContentSource: await page.getTextContent(), container: text, viewport });
  try {
    await Promise.all([drawing.promise, layer.render()]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
  signal.throwIfAborted();
  target.style.aspectRatio = `${viewport.width} / ${viewport.height}`;
  target.replaceChildren(canvas, text);
  const sizes = new ResizeObserver(() => {
    if (text.isConnected) fit();
    else sizes.disconnect();
  });
  sizes.observe(target);
  const marked = findPassage(layer.textContentItemsStr, passage).flatMap((i) => layer.textDivs[i] ?? []);
  for (const piece of marked) piece.classList.add("marked");
  return marked[0];
}
