import { createRequire } from "node:module";

/**
 * Shows a line on a resource while its operation runs. Dynamic providers have no public way to the engine's log, so it is
 * reached by Pulumi's generated client; where that has moved, or no engine listens, the line goes to the standard output,
 * which the engine shows on the stack.
 * @param urn of the resource
 */
export function tell(urn: string, message: string, severity: "INFO" | "WARNING" = "INFO"): void {
    try {
        logWithEngine(urn, message, severity);
    } catch {
        console.log(message);
    }
}

interface LogRequest {
    setSeverity(severity: number): void;
    setMessage(message: string): void;
    setUrn(urn: string): void;
}

interface EngineClient {
    log(request: LogRequest, done: (error: Error | null) => void): void;
    close(): void;
}

function logWithEngine(urn: string, message: string, severity: "INFO" | "WARNING"): void {
    const here = createRequire(__filename);
    const { EngineClient } = here("@pulumi/pulumi/proto/engine_grpc_pb.js");
    const { LogRequest, LogSeverity } = here("@pulumi/pulumi/proto/engine_pb.js");
    // Pulumi's own copy: credentials of another one are refused.
    const { credentials } = createRequire(here.resolve("@pulumi/pulumi/proto/engine_grpc_pb.js"))("@grpc/grpc-js");
    const client: EngineClient = new EngineClient(process.argv[2] ?? "", credentials.createInsecure());
    const request: LogRequest = new LogRequest();
    request.setSeverity(LogSeverity[severity]);
    request.setMessage(message);
    request.setUrn(urn);
    client.log(request, (error) => {
        client.close();
        if (error !== null) console.log(message);
    });
}
