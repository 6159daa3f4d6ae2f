//go:build local

package main

import "github.com/sallyport/sallyport/components/stack"

// clouds is empty where only stack local is wanted.
var clouds map[stack.Cloud]deployer
