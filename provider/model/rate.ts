const secondsOf = { second: 1, minute: 60, hour: 3600, day: 86400 } as const;

/** So many in so much time. */
export interface Rate {
    readonly count: number;
    readonly per: keyof typeof secondsOf;
    readonly periodSeconds: number;
}

/** `20/minute`. @throws Error */
export function parseRate(text: string): Rate {
    const [, digits = "", word = ""] = /^(\d{1,9})\s*\/\s*(second|minute|hour|day)$/.exec(text) ?? [];
    const count = Number(digits);
    if (count === 0) throw new Error('is no rate such as "20/minute" (per second, minute, hour or day)');
    const per = word as Rate["per"];
    return { count, per, periodSeconds: secondsOf[per] };
}

export function formatRate({ count, per }: Rate): string {
    return `${count}/${per}`;
}
