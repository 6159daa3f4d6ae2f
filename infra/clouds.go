//go:build !local

package main

import (
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/aws"
	"github.com/sallyport/sallyport/infra/gcp"
)

// clouds are the environments besides stack local. The tag keeps the clouds' SDKs, minutes of compiling, out of a first
// `make up`.
var clouds = map[stack.Cloud]deployer{
	stack.CloudAWS: aws.Deploy,
	stack.CloudGCP: gcp.Deploy,
}
