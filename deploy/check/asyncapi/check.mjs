// Reads an AsyncAPI document with AsyncAPI's own parser: node check.mjs FILE. Exits 1 on a fault.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const FAULT = 0; // of the parser's severities: 0 error, 1 warning, 2 information, 3 hint
const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
for (const each of diagnostics)
  console.log(`${each.severity === FAULT ? "fault" : "note"} at ${each.path.join(".")}: ${each.message}`);
process.exit(document && diagnostics.every((each) => each.severity !== FAULT) ? 0 : 1);
