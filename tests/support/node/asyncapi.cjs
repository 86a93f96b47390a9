// Validates AsyncAPI documents (JSON text, in an array) with the official parser.
// Output: the diagnostics of each document, errors (severity 0) first.
const { Parser } = require("@asyncapi/parser");

const diagnose = async (document) => {
  const diagnostics = await new Parser().validate(document);
  const found = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path }));
  return found.sort((one, other) => one.severity - other.severity);
};

const documents = JSON.parse(require("fs").readFileSync(0, "utf8"));
Promise.all(documents.map(diagnose)).then((found) => console.log(JSON.stringify(found)));
