// PDF.js ships no types for its worker; here it is only handed on.
declare module "pdfjs-dist/build/pdf.worker.mjs";
