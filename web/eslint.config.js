import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

// The page has no path from text to HTML: a model's words become nodes, never markup (`Trusted Types` enforces the same).
const MARKUP_SINKS = [
  "innerHTML",
  "outerHTML",
  "srcdoc",
  "insertAdjacentHTML",
  "setHTMLUnsafe",
  "parseFromString",
  "createContextualFragment",
  "dangerouslySetInnerHTML",
];
const NO_MARKUP = "No HTML path: build nodes, never markup.";

export default defineConfig(
  { ignores: ["node_modules", "dist"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ["eslint.config.js"] } } },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "no-restricted-properties": [
        "error",
        ...MARKUP_SINKS.map((property) => ({ property, message: NO_MARKUP })),
        { object: "document", property: "write", message: NO_MARKUP },
      ],
      "no-restricted-syntax": [
        "error",
        { selector: "JSXAttribute[name.name=/^(dangerouslySetInnerHTML|innerHTML|srcdoc|srcDoc)$/]", message: NO_MARKUP },
        { selector: "Property[key.name=/^(dangerouslySetInnerHTML|innerHTML|srcdoc)$/]", message: NO_MARKUP },
      ],
    },
  },
  {
    files: ["core/**/*.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["preact", "preact/*", "**/ui/*"], message: "core/ stands without a framework." }] },
      ],
      "no-restricted-globals": ["error", "window", "document", "localStorage", "sessionStorage", "location"],
    },
  },
);
