// Package gcppreflight checks a GCP project before the first resource: are the quotas high enough for the plan, does the network
// named in the stack file exist and fit, and does nobody else's Cloud NAT serve the same ranges. A stack that would stop half-way
// is refused with everything that is wrong at once, and nothing has been created.
//
// It only reads, over the Compute Engine REST API. Credentials are those of Pulumi's provider: GOOGLE_OAUTH_ACCESS_TOKEN,
// GOOGLE_CREDENTIALS, else application default credentials. GOOGLE_COMPUTE_CUSTOM_ENDPOINT names another endpoint.
//
// What belongs to the stack already, by its labels, does not count twice: a check before the second update asks for nothing new.
//
// The limit that matters is time: asking for a higher quota takes hours to days, so the answer must come first.
package gcppreflight

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight/gcpapi"
)

// timeout bounds the whole check.
const timeout = time.Minute

// Check returns nil if the stack fits into the project as it is, else every problem.Problem joined. It ends within a minute,
// whatever the network does, and never writes.
func Check(ctx context.Context, need Need) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var list problem.List
	api, err := gcpapi.New(ctx, need.place())
	if err != nil {
		record(err, &list)
		return list.Err()
	}
	r := &reader{need: need, api: api}
	r.read(ctx, &list)
	for _, check := range []func(Need, project, *problem.List){
		checkAddressQuotas, checkCPUQuota, checkRouterQuotas, checkGateways, checkZones, checkHost, checkNetwork, checkForeignNats, checkBrought, checkMachine,
	} {
		check(need, r.project, &list)
	}
	return list.Err()
}
