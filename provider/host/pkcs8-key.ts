import { createPrivateKey } from "node:crypto";
import { renderEd25519Key } from "./ed25519-key.js";

/**
 * Turns a key in PKCS #8 (`BEGIN PRIVATE KEY`, as openssl genpkey, Terraform and the consoles of clouds give it) into a form that
 * ssh2 and every OpenSSH read, without its passphrase; any other text comes back as it is.
 * @throws Error when the passphrase is missing, or wrong ("bad decrypt")
 */
export function convertPkcs8(text: string, passphrase?: string): string {
    const [begin] = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.exec(text) ?? [];
    if (begin === undefined) return text;
    // OpenSSL's own words are "interrupted or cancelled".
    if (begin.includes("ENCRYPTED") && passphrase === undefined) throw new Error("No passphrase given");
    const key = createPrivateKey({ key: text, format: "pem", ...(passphrase === undefined ? {} : { passphrase }) });
    switch (key.asymmetricKeyType) {
        case "rsa":
            return key.export({ type: "pkcs1", format: "pem" }).toString();
        case "ec":
            return key.export({ type: "sec1", format: "pem" }).toString();
        case "ed25519":
            return renderEd25519Key(key).private;
        default:
            return text;
    }
}
