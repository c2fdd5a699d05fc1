/**
 * How scripts and answers share the two pipes of one shell.
 *
 * A script travels as one quoted word to `eval` in a forked subshell: the shell has read all of it before any of it runs
 * (a cut connection leaves an unterminated word, which runs nothing), its syntax errors, `exit` and here-documents stay
 * inside the fork, and its standard input is /dev/null, so it cannot eat the next script. One fork and no exec: 0.4 ms
 * in dash against 0.8 ms for `sh -s` with a here-document.
 */

/** What one run printed on one of the two pipes. */
export interface Frame {
    readonly text: string;
    /** What followed the closing marker: the exit code on stdout, nothing on stderr. */
    readonly trailer: string;
}

/**
 * One line of shell that runs `script` between markers. When the opening marker cannot be written the connection is
 * gone, and the shell ends: a script that was still queued in the pipe must not run after its caller gave up.
 */
export function renderRun(script: string, marker: string): string {
    const word = `'${script.replaceAll("'", `'\\''`)}'`;
    return (
        `{ { echo ${openingOf(marker)} && echo ${openingOf(marker)} >&2; } || exit 1; ` +
        `(eval ${word}) </dev/null; echo "${closingOf(marker)} $?"; echo ${closingOf(marker)} >&2; }\n`
    );
}

/**
 * Cuts a byte stream into the frames of the markers expected, in order; what lies outside a frame (banners, words of
 * rc files) is dropped. Bytes are decoded per frame, so a character split between chunks is safe.
 *
 * @param onOpening told when a frame begins, before its text came
 */
export function createFrameReader(
    onFrame: (frame: Frame) => void,
    onOpening?: () => void,
): {
    expect(marker: string): void;
    push(chunk: Buffer): void;
} {
    const expected: { readonly opening: Buffer; readonly closing: Buffer }[] = [];
    let buffer = Buffer.alloc(4096);
    let length = 0;
    let scanned = 0;
    /** The opening marker was seen: the buffer starts with the frame's text. */
    let isOpen = false;

    function append(chunk: Buffer): void {
        if (length + chunk.length > buffer.length) {
            const larger = Buffer.alloc(Math.max(buffer.length * 2, length + chunk.length));
            buffer.copy(larger, 0, 0, length);
            buffer = larger;
        }
        chunk.copy(buffer, length);
        length += chunk.length;
    }

    function drop(count: number): void {
        buffer.copyWithin(0, count, length);
        length -= count;
        scanned = 0;
    }

    /** Finds the whole line of `marker`; remembers how far it looked, so long output is searched once. */
    function findLine(marker: Buffer): { readonly from: number; readonly to: number } | undefined {
        const view = buffer.subarray(0, length);
        const from = view.indexOf(marker, scanned);
        if (from === -1) {
            scanned = Math.max(scanned, length - marker.length + 1);
            return undefined;
        }
        scanned = from;
        const to = view.indexOf("\n", from + marker.length);
        return to === -1 ? undefined : { from, to: to + 1 };
    }

    function takeFrame(): boolean {
        const markers = expected[0];
        if (markers === undefined) {
            drop(length);
            return false;
        }
        if (!isOpen) {
            const opening = findLine(markers.opening);
            if (opening === undefined) return false;
            drop(opening.to);
            isOpen = true;
            onOpening?.();
        }
        const closing = findLine(markers.closing);
        if (closing === undefined) return false;
        const text = buffer.toString("utf8", 0, closing.from);
        const trailer = buffer.toString("utf8", closing.from + markers.closing.length, closing.to).trim();
        drop(closing.to);
        isOpen = false;
        expected.shift();
        onFrame({ text, trailer });
        return true;
    }

    return {
        expect(marker) {
            expected.push({ opening: Buffer.from(openingOf(marker)), closing: Buffer.from(closingOf(marker)) });
        },
        push(chunk) {
            append(chunk);
            while (takeFrame());
        },
    };
}

function openingOf(marker: string): string {
    return `${marker}:begin`;
}

function closingOf(marker: string): string {
    return `${marker}:end`;
}
