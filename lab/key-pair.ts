import { generateKeyPairSync } from "node:crypto";
import { type KeyPair, renderEd25519Key } from "../provider/host/ed25519-key.js";

export type { KeyPair };

/** Makes a new ed25519 key. */
export function generateKeyPair(): KeyPair {
    return renderEd25519Key(generateKeyPairSync("ed25519").privateKey);
}
