// Command pulumi-resource-lab is the Pulumi provider `lab`. The Pulumi engine starts it; see package lab/provider.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sallyport/sallyport/lab/provider"
)

func main() {
	if err := provider.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-lab:", err)
		os.Exit(1)
	}
}
