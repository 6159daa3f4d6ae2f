// Package awsapi is how Sallyport's own reads of AWS are made: with credentials that are looked for once, a bounded number of
// attempts, a bounded time, and every failure told as a preflight.Refusal.
//
// Region and endpoint come from the caller and the environment (AWS_ENDPOINT_URL, AWS_PROFILE and all others that the AWS SDK
// reads).
package awsapi

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sallyport/sallyport/preflight"
)

const (
	// Attempts is how often one call is made unless AWS_MAX_ATTEMPTS says otherwise.
	Attempts = 5
	// maxBackoff is the longest wait between two attempts: with Attempts, a call gives up after some 12 s of waiting.
	maxBackoff = 4 * time.Second
	// dialTimeout and callTimeout bound one attempt.
	dialTimeout = 3 * time.Second
	callTimeout = 15 * time.Second
)

// Config returns what clients are made of. The error is a *Error: no credentials were found, or they could not be had.
func Config(ctx context.Context, region string) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTimeout(callTimeout).WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithHTTPClient(client), config.WithRetryer(newRetryer))
	if err != nil {
		return aws.Config{}, &Error{Refusal: preflight.Refusal{Place: Place(region), Action: "configuration", Why: preflight.Failed, Attempts: 1, Detail: preflight.OneLine(err.Error())}, err: err}
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		refusal := refusalOf(region, "credentials", err)
		if refusal.Why == preflight.Failed {
			refusal.Why = preflight.NoCredentials
		}
		return aws.Config{}, &Error{Refusal: refusal, err: err}
	}
	return cfg, nil
}

func newRetryer() aws.Retryer {
	attempts, err := strconv.Atoi(os.Getenv("AWS_MAX_ATTEMPTS"))
	if err != nil || attempts < 1 {
		attempts = Attempts
	}
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff })
}

// Place is where problems with a region of AWS are.
func Place(region string) string { return "aws " + cmp.Or(region, "(no region)") }

// Error is a call that brought no answer.
type Error struct {
	// Refusal says which call and why.
	Refusal preflight.Refusal
	err     error
}

// Error implements error.
func (e *Error) Error() string { return e.Refusal.Error() }

// Unwrap returns what the SDK said.
func (e *Error) Unwrap() error { return e.err }

// Wrap makes an *Error of what a call of action returned; nil and an *Error stay what they are.
func Wrap(region, action string, err error) error {
	var wrapped *Error
	if err == nil || errors.As(err, &wrapped) {
		return err
	}
	return &Error{Refusal: refusalOf(region, action, err), err: err}
}

// refusalOf finds out why a call failed.
func refusalOf(region, action string, err error) preflight.Refusal {
	r := preflight.Refusal{Place: Place(region), Action: action, Why: preflight.Failed, Attempts: 1, Detail: preflight.OneLine(err.Error())}
	var most *retry.MaxAttemptsError
	if errors.As(err, &most) {
		r.Attempts = most.Attempt
	}
	var api smithy.APIError
	var unsent *smithyhttp.RequestSendError
	var network net.Error
	switch {
	case errors.As(err, &api):
		r.Why, r.Detail = reasonOf(api.ErrorCode()), preflight.OneLine(api.ErrorCode()+": "+api.ErrorMessage())
	case errors.As(err, &unsent):
		r.Why, r.Detail = preflight.Unreachable, preflight.OneLine(unsent.Err.Error())
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		r.Why = preflight.Unreachable
	}
	return r
}

// reasonOf sorts the error codes of AWS's APIs. "Amazon EC2 API Reference", "Error codes for the Amazon EC2 API", 2026-09;
// "Service Quotas API Reference", "Common Errors", 2026-09.
func reasonOf(code string) preflight.Reason {
	if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
		return preflight.Throttled
	}
	switch code {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "NotAuthorized":
		return preflight.Denied
	case "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken",
		"ExpiredTokenException", "RequestExpired", "IncompleteSignature", "InvalidSignatureException", "InvalidAccessKeyId":
		return preflight.Unauthorized
	case "OptInRequired", "PendingVerification", "Blocked", "SubscriptionRequiredException":
		return preflight.Disabled
	}
	return preflight.Failed
}

// IsCode reports whether a call failed with an error code of the API.
func IsCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
