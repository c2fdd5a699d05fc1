/** Attaches a container and publishes ports of it; both in seconds. The ports are 20000 and up, of its own 1000 and up. */
export interface Publisher extends AsyncDisposable {
    publish(count: number): Promise<number>;
    withdraw(): Promise<number>;
}
