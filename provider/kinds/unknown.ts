/** What stands in a preview for a value that is not known yet (`unknownValue` of @pulumi/pulumi/runtime/rpc). */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether a value is unknown or has something unknown inside. */
export function hasUnknown(value: unknown): boolean {
    if (value === unknown) return true;
    if (typeof value !== "object" || value === null) return false;
    return Object.values(value).some(hasUnknown);
}
