//go:build tools

// Package engine only names the Pulumi CLI, so that go.mod and go.sum list all it takes to build it.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
