export type { LabCommand, LabExecError, LabExecOptions, LabExecResult, LabSandbox } from "./exec.js";
export { createHost, createLab, type Lab, type LabOptions } from "./lab.js";
export type { LabConnection, LabHost, LabMachine } from "./netns-host.js";
export type { LabProcess } from "./spawn.js";
