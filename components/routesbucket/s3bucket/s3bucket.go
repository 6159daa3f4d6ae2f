// Package s3bucket keeps the routes document in S3: a private, versioned, encrypted bucket with one object that the fleet follows.
//
// A change of destinations is a new version of that object and touches nothing else. Every version is kept for a while, so that an
// earlier one can be looked at and published again.
package s3bucket

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:routesbucket:S3"

// DefaultKey is the object's key unless another is given.
const DefaultKey = "routes.json"

// BucketArgs are the arguments of NewBucket.
type BucketArgs struct {
	// Stack is the name that the tags carry.
	Stack string
	// Region is the bucket's region; it becomes part of the URL.
	Region string
	// Bucket is the bucket's name. Empty: one is made up, "sallyport-<stack>-routes-<random>".
	Bucket string
	// Key is the object's key. Default DefaultKey.
	Key string
	// KeepDays is how long earlier versions are kept, at least 1. Default 90.
	KeepDays int
	// Endpoint adds a gateway endpoint for S3, so that the document does not travel by the internet gateway. Nil: none is made;
	// those who have one in the VPC must not ask for a second.
	Endpoint *EndpointArgs
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// EndpointArgs say where the gateway endpoint is.
type EndpointArgs struct {
	VPCID pulumi.StringInput
	// RouteTableIDs are the route tables of the subnets with proxies, by a stable name, for example the zone.
	RouteTableIDs map[string]pulumi.StringInput
}

// Bucket is the place of the routes document.
type Bucket struct {
	pulumi.ResourceState

	// Name is the bucket's name.
	Name pulumi.StringOutput `pulumi:"bucketName"`
	// ARN is for the instances' role.
	ARN pulumi.StringOutput `pulumi:"arn"`
	// URL is what the agent is given: s3://<bucket>/<key>?region=<region>.
	URL pulumi.StringOutput `pulumi:"url"`

	key string
}
