package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// s3Store reads an object of S3, or of a store that speaks its protocol.
type s3Store struct {
	place
	region, endpointURL  string
	pathStyle, anonymous bool

	client *s3.Client // nil until the first look
}

// openS3 reads the URL. Its parameters have the names that gocloud.dev/blob/s3blob gave them.
func openS3(u *url.URL) (*s3Store, error) {
	p, err := parsePlace(u, "region", "endpoint", "use_path_style", "anonymous")
	if err != nil {
		return nil, err
	}
	s := &s3Store{place: p, region: p.parameters.Get("region")}
	var errs [3]error
	s.endpointURL, errs[0] = p.endpoint()
	s.pathStyle, errs[1] = p.flag("use_path_style")
	s.anonymous, errs[2] = p.flag("anonymous")
	if s.region == "" && os.Getenv("AWS_REGION") == "" {
		errs[0] = errors.Join(errs[0], fmt.Errorf("must name the bucket's region, got %q; add ?region=<region> or set AWS_REGION", u.Redacted()))
	}
	return s, errors.Join(errs[:]...)
}

// open makes the client. Credentials are looked for where every AWS program does; on an instance that is its role.
func (s *s3Store) open(ctx context.Context) error {
	if s.client != nil {
		return nil
	}
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if s.region != "" {
		options = append(options, config.WithRegion(s.region))
	}
	if s.anonymous {
		options = append(options, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return err
	}
	s.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = s.pathStyle
		o.RetryMaxAttempts = 1   // the next look is the retry
		o.Logger = logging.Nop{} // standard error belongs to the agent's log
		o.DisableLogOutputChecksumValidationSkipped = true
		if s.endpointURL != "" {
			o.BaseEndpoint = aws.String(s.endpointURL)
		}
	})
	return nil
}

// get implements store.
func (s *s3Store) get(ctx context.Context, tag string) ([]byte, string, bool, error) {
	if err := s.open(ctx); err != nil {
		return nil, "", false, err
	}
	input := &s3.GetObjectInput{Bucket: aws.String(s.bucket), Key: aws.String(s.key)}
	if tag != "" {
		input.IfNoneMatch = aws.String(tag)
	}
	output, err := s.client.GetObject(ctx, input)
	if err != nil {
		if status(err) == http.StatusNotModified {
			return nil, tag, false, nil
		}
		return nil, "", false, s3Error(err)
	}
	defer output.Body.Close()
	data, err := read(output.Body)
	return data, aws.ToString(output.ETag), err == nil, err
}

// status returns the HTTP status of an error, or 0.
func status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// s3Error keeps what the store said. The SDK's text has the number of the request in it, which differs each time.
func s3Error(err error) error {
	var api smithy.APIError
	if code := status(err); code != 0 {
		if errors.As(err, &api) && api.ErrorMessage() != "" {
			return fmt.Errorf("the store answers %d %s: %.200s", code, api.ErrorCode(), api.ErrorMessage())
		}
		return fmt.Errorf("the store answers %d %s", code, http.StatusText(code))
	}
	return err
}
