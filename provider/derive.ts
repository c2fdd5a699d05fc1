import { hkdfSync } from "node:crypto";
import type { Derive } from "./model/derive.js";

/** Another one would change all keys: hosts of one segment have to agree on it. */
const salt = "pulumi-linuxnet segment keys 1";

/** HKDF with SHA-256 (RFC 5869). */
export const derive: Derive = (secret, info, byteCount) =>
    Buffer.from(hkdfSync("sha256", secret, salt, info, byteCount)).toString("hex");
