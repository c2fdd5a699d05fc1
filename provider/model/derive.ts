/** Bytes in hex that follow from a secret and from what they are for, and that tell nothing of either. */
export type Derive = (secret: string, info: string, byteCount: number) => string;
