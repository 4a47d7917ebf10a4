import type { Api } from "../core/api";

/** Saves a conversation as a file. Throws what the API throws. */
export async function exportConversation(api: Api, id: string, form: "markdown" | "json"): Promise<void> {
  const { blob, name } = await api.exported(id, form);
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
