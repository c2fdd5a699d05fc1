import { type KeyObject, randomBytes } from "node:crypto";

/** A key pair: both halves as text in OpenSSH's forms. */
export type KeyPair = { readonly private: string; readonly public: string };

const keyType = "ssh-ed25519";

/**
 * Writes an ed25519 key as OpenSSH does.
 *
 * Not by ssh2's `utils.generateKeyPairSync`: ssh2 1.17 strips zero bytes from the front of the public half, and OpenSSH
 * refuses one in 256 of its keys ("error in libcrypto", https://github.com/mscdex/ssh2/issues/1513).
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
 */
export function renderEd25519Key(key: KeyObject): KeyPair {
    const { d = "", x = "" } = key.export({ format: "jwk" });
    const [seed, publicHalf] = [Buffer.from(d, "base64url"), Buffer.from(x, "base64url")];
    const publicBlob = Buffer.concat([field(keyType), field(publicHalf)]);
    const check = randomBytes(4);
    const secret = Buffer.concat([
        ...[check, check, publicBlob],
        ...[field(Buffer.concat([seed, publicHalf])), field("")],
    ]);
    const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
    const file = Buffer.concat([
        Buffer.from("openssh-key-v1\0"),
        // Cipher, key derivation and its options: not encrypted; then the number of keys.
        ...[field("none"), field("none"), field(""), uint32(1)],
        ...[field(publicBlob), field(Buffer.concat([secret, padding]))],
    ]);
    const lines = file.toString("base64").replace(/.{70}/g, "$&\n");
    return {
        private: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`,
        public: `${keyType} ${publicBlob.toString("base64")}`,
    };
}

function uint32(value: number): Buffer {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
}

/** RFC 4251, section 5: a string is its length and its bytes. */
function field(content: string | Buffer): Buffer {
    const bytes = Buffer.from(content);
    return Buffer.concat([uint32(bytes.length), bytes]);
}
