package topology

import (
	"context"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/verify"
)

// publishPlace is where the publication of the allow list is written.
const publishPlace = "sallyport:allowlist.publish"

// ReadSigner opens the key that signs what partners are given, before anything is created. Nil if nothing is published or signed,
// and in a preview by somebody who has no key. The key stays in this process: neither a state nor a log ever has it.
func ReadSigner(ctx *pulumi.Context, publish *stack.Publish) (allowlistpublish.Signer, error) {
	if publish == nil || publish.PublicKey == "" {
		return nil, nil
	}
	if ctx.DryRun() && os.Getenv(allowlist.SigningKeyEnv) == "" {
		return nil, ctx.Log.Info(publishPlace+": "+allowlist.SigningKeyEnv+" names no key: the preview takes every signature for new; an update needs the key", nil)
	}
	signer, err := allowlist.ReadSigner(publish.PublicKey)
	if err != nil {
		return nil, err
	}
	return signer, nil
}

// Published is what partners are given of a document: to everybody whom a public IP concerns, after the cloud has confirmed it. The
// stack has to publish. Open asks the cloud, and is not called in a preview.
func (l *Lifecycle) Published(ctx *pulumi.Context, signer allowlistpublish.Signer, open func(context.Context) (verify.View, error)) allowlistpublish.Publication {
	publish := l.settings.Allowlist.Publish
	return allowlistpublish.Publication{
		Partners: allowlistpublish.Partners(l.lives), Bucket: publish.Bucket, Prefix: publish.Prefix,
		Public: publish.Access == stack.AccessPublic, Notices: publish.Notices,
		Signed: publish.PublicKey != "", Signer: signer, Check: verify.Checker(open, ctx.Stack()),
	}
}
