// Package awspreflight checks an AWS account before the first resource: are the quotas high enough for the plan, does the
// network named in the stack file exist and fit, and is nobody else's default route in the way. A stack that would stop half-way
// is refused with everything that is wrong at once, and nothing has been created.
//
// It only reads, with the credentials and the endpoint (AWS_ENDPOINT_URL) that the environment gives the AWS SDK. What it calls
// is in Actions.
//
// What belongs to the stack already, by its tags, does not count twice: a check before the second update asks for nothing new.
//
// The limit that matters is time: asking for a higher quota takes hours to days, so the answer must come first.
package awspreflight

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

// timeout bounds the whole check.
const timeout = time.Minute

// Check returns nil if the stack fits into the account as it is, else every problem.Problem joined. It ends within a minute,
// whatever the network does, and never writes.
func Check(ctx context.Context, need Need) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var list problem.List
	cfg, err := awsapi.Config(ctx, need.Region)
	if err != nil {
		record(err, &list)
		return list.Err()
	}
	r := &reader{need: need, ec2: ec2.NewFromConfig(cfg), quotas: servicequotas.NewFromConfig(cfg)}
	r.read(ctx, &list)
	for _, check := range []func(Need, account, *problem.List){
		checkAddressQuota, checkGatewayQuota, checkIPsPerGateway, checkCPUQuota, checkZones, checkVPC, checkSubnets, checkRouteTables, checkBrought, checkMachine,
	} {
		check(need, r.account, &list)
	}
	return list.Err()
}
