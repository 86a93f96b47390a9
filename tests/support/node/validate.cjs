// Validates records (JSON text, in an array) against schemas with ajv, with and without formats.
// Input: {"schemas": {NAME: SCHEMA}, "records": [[NAME, TEXT]]}. Output: [[without, with]] for each record.
const Ajv = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats").default;

const { schemas, records } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const plain = new Ajv({ strict: true, allowUnionTypes: true, strictTypes: false, validateFormats: false });
const asserting = addFormats(new Ajv({ strict: true, allowUnionTypes: true, strictTypes: false }));
const validators = Object.fromEntries(
  Object.entries(schemas).map(([name, schema]) => [name, [plain.compile(schema), asserting.compile(schema)]]),
);
console.log(JSON.stringify(records.map(([name, text]) => validators[name].map((valid) => valid(JSON.parse(text))))));
