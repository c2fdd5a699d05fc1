// The provider in a process of its own, as the engine has it: calls come in and answers go out, one line of JSON each.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const load = createRequire(import.meta.url);
const provider = { ...load("../../dist/provider/index.js"), sessions: load("../../dist/provider/sessions.js") };

for await (const line of createInterface({ input: process.stdin })) {
    const { id, handler, method, args } = JSON.parse(line);
    provider[handler]
        [method](...args)
        .then(
            (result) => ({ id, result }),
            (error) => ({ id, error: error.message }),
        )
        .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
process.exit();
