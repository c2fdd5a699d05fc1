/**
 * An error that is told to the user as it is: one sentence, the command to type, no stack trace.
 *
 * @param {string} message what is wrong and what to do about it
 * @param {string[]} [details] the failed program's own last words, shown above the message
 * @returns {Error & { details: string[] }}
 */
export function problem(message, details = []) {
    return Object.assign(new Error(message), { name: "Problem", details });
}
