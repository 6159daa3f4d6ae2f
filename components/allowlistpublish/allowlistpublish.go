// Package allowlistpublish says what is put into a bucket for partners: for each one its own view of the allow list, as JSON with a
// signature and as plain networks. Nobody learns of another partner.
//
// The packages below it put that into S3 and Cloud Storage. A document that is incomplete, or that the cloud contradicts, is never
// put anywhere: the update fails and partners keep what they have.
package allowlistpublish

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/components/allowlist"
)

// Names of the objects below a partner's folder.
const (
	DocumentName  = "allowlist.json"
	SignatureName = "allowlist.json.minisig"
	NetworksName  = "allowlist.txt"
)

// File is one object. Its key never changes; its content is a new version whenever the list changes.
type File struct {
	Key, Partner, Name, ContentType string
}

// Signer signs a document for a file of a name. [allowlist.Signer] is one.
type Signer interface {
	Sign(d allowlist.Document, file string) (signature string, err error)
}

// Partners are those who are given a list: everybody whom an address concerns that is not given back to the cloud.
func Partners(lives []allowlist.Life) []string {
	partners := []string{}
	for _, life := range lives {
		if !life.Release {
			partners = append(partners, life.Partners...)
		}
	}
	slices.Sort(partners)
	return slices.Compact(partners)
}

// Check asks somebody else whether a document is true, for example the cloud. An error withholds it.
type Check func(ctx context.Context, d allowlist.Document) error

// Files are the objects for a set of partners, by partner. The document comes last of its folder: whoever hears of a new one finds the
// signature there.
func Files(partners []string, prefix string, signed bool) []File {
	var files []File
	sorted := slices.Clone(partners)
	slices.Sort(sorted)
	for _, partner := range slices.Compact(sorted) {
		folder := prefix + partner + "/"
		if signed {
			files = append(files, File{folder + SignatureName, partner, SignatureName, "text/plain; charset=utf-8"})
		}
		files = append(files,
			File{folder + NetworksName, partner, NetworksName, "text/plain; charset=utf-8"},
			File{folder + DocumentName, partner, DocumentName, "application/json"})
	}
	return files
}

// Content is what a file holds for a document. It depends on the document and the key alone, so that an update without a change
// publishes nothing.
func Content(f File, d allowlist.Document, signer Signer) (string, error) {
	view, err := d.ForPartner(f.Partner)
	if err != nil {
		return "", fmt.Errorf("publish %s: %w", f.Key, err)
	}
	switch f.Name {
	case SignatureName:
		if signer == nil {
			return "", fmt.Errorf("publish %s: needs a signing key, got none", f.Key)
		}
		return signer.Sign(view, DocumentName)
	case NetworksName:
		return view.Render(allowlist.FormatBlocks)
	default:
		return view.Render(allowlist.FormatJSON)
	}
}

// Open reads a document that is about to be published, and has it checked. The error withholds it.
func Open(ctx context.Context, text string, check Check) (allowlist.Document, error) {
	document, err := allowlist.Parse([]byte(text))
	if err != nil {
		return allowlist.Document{}, fmt.Errorf("allow list is not published\n%w", err)
	}
	if check != nil {
		if err := check(ctx, document); err != nil {
			return allowlist.Document{}, fmt.Errorf("allow list is not published\n%w", err)
		}
	}
	return document, nil
}
