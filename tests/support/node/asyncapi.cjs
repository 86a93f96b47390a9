// Validates an AsyncAPI document with the official parser. Output: its diagnostics, errors (severity 0) first.
const { Parser } = require("@asyncapi/parser");

new Parser().validate(require("fs").readFileSync(0, "utf8")).then((diagnostics) => {
  const found = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path }));
  console.log(JSON.stringify(found.sort((one, other) => one.severity - other.severity)));
});
