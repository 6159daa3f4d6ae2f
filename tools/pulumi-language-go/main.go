// Command pulumi-language-go lets a Pulumi CLI that was built from its Go module run Go programs. Pulumi's own language host
// ships only with its download, which a machine with nothing but a module proxy cannot reach; where Pulumi is installed from
// its distribution, that host is used and this one is never built.
//
// It speaks the language runtime protocol of the pinned SDK: it compiles the program with the ordinary Go tool, runs it, and
// compiles and runs plugins (policy packs, providers) written in Go the same way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

// run serves until the CLI goes away. The first line on standard output is the port, which is how the CLI finds the host.
func run(args []string) error {
	flags := flag.NewFlagSet("pulumi-language-go", flag.ContinueOnError)
	flags.String("tracing", "", "accepted and unused: the CLI passes it to every host")
	flags.String("root", "", "accepted and unused: the root comes with each request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	engine := flags.Arg(0)
	if engine == "" {
		return errors.New("the engine's address is missing; this program is started by the pulumi command line")
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := rpcutil.Healthcheck(ctx, engine, 0, stop); err != nil {
		return fmt.Errorf("engine %s: %w", engine, err)
	}
	cancelled := make(chan bool)
	go func() {
		<-ctx.Done()
		close(cancelled)
	}()
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancelled,
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, &host{ctx: ctx, engine: engine})
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}
