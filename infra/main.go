// Command infra is the Pulumi program: one stack is one environment's way out.
//
// program.go reads like a table of contents, config.go reads the stack file, and local.go builds stack local.
package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() {
	pulumi.Run(program)
}
