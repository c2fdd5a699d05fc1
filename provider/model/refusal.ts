/** What a user asked for cannot be done, and nothing was touched. The message is a sentence and what to do instead. */
export class Refusal extends Error {
    override readonly name = "Refusal";
}
