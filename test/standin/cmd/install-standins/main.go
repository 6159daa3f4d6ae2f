// Command install-standins builds the stand-in providers and puts them into a PULUMI_HOME, for previews and tests without a cloud
// account:
//
//	go run ./test/standin/cmd/install-standins -home .build/standin-home
//	PULUMI_HOME=$PWD/.build/standin-home pulumi preview ...
//
// Use a PULUMI_HOME of its own, never the one that deploys: see package install.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/test/standin/install"
)

func main() {
	home := flag.String("home", ".build/standin-home", "the PULUMI_HOME to install into")
	root := flag.String("root", ".", "the checkout")
	flag.Parse()
	absolute, err := filepath.Abs(*home)
	if err == nil {
		err = install.Install(*root, absolute)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "install-standins:", err)
		os.Exit(1)
	}
}
