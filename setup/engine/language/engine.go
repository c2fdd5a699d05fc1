//go:build tools

// Package engine only names Pulumi's Node language host, so that go.mod and go.sum list all it takes to build it.
// sdk v3.68.0 is the newest module that still holds it; it runs programs on today's @pulumi/pulumi.
package engine

import _ "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs"
