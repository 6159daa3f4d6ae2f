// Command pulumi-resource-standin is the stand-in for pulumi-resource-aws, pulumi-resource-gcp and pulumi-resource-kubernetes:
// which one is decided by the name it is started under. Package install puts it where the Pulumi command line looks.
//
// The world it works in is the folder in SALLYPORT_STANDIN_WORLD; without one it previews and changes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"github.com/sallyport/sallyport/test/standin/install"
	"github.com/sallyport/sallyport/test/standin/server"
	"github.com/sallyport/sallyport/test/standin/world"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-standin:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.String("tracing", "", "accepted and unused: the command line passes it to every provider")
	flags.Int("logflow", 0, "accepted and unused, as -tracing")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	address := flags.Arg(0)
	if address == "" {
		return errors.New("the engine's address is missing; this program is started by the pulumi command line")
	}
	provider, err := install.Find(strings.TrimPrefix(filepath.Base(args[0]), "pulumi-resource-"))
	if err != nil {
		return err
	}
	opened, err := world.Open(os.Getenv(install.WorldVariable))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := rpcutil.Healthcheck(ctx, address, 0, stop); err != nil {
		return fmt.Errorf("engine %s: %w", address, err)
	}
	cancelled := make(chan bool)
	go func() {
		<-ctx.Done()
		close(cancelled)
	}()
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancelled,
		Init: func(s *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(s, &server.Server{
				Package: provider.Package(), Version: provider.Version, World: opened, Stop: ctx,
			})
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}
