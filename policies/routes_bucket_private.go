package main

import "fmt"

const (
	gcpBucketType  = "gcp:storage/bucket:Bucket"
	publicAccess   = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
	s3BucketV2Type = "aws:s3/bucketV2:BucketV2"
	s3BucketType   = "aws:s3/bucket:Bucket"
)

// routesBucketPrivate wants buckets closed to the public: who can write the routes document decides where traffic goes. The one with the
// partners' lists may be read by everybody, if the stack file says so; ACLs stay off there too.
var routesBucketPrivate = policy{
	name: "routes-bucket-private", level: mandatory,
	description: "Buckets are closed to the public.",
	stack: func(j *judge, all stack) {
		closed := map[string]resource{} // by bucket urn
		for _, block := range all.of(publicAccess) {
			for _, urn := range block.uses["bucket"] {
				closed[urn] = block
			}
		}
		open := openOnPurpose(all)
		for _, bucket := range all.of(s3BucketV2Type, s3BucketType) {
			block, ok := closed[bucket.urn]
			if !ok {
				j.report(bucket.urn, fmt.Sprintf("%s: needs a BucketPublicAccessBlock, got none; add one with all four settings true", bucket.name))
				continue
			}
			for _, key := range []string{"blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"} {
				if f := block.inputs.at(key); !f.unknown() && !f.yes() && !(open[bucket.parent] && publicByPolicy[key]) {
					j.violates(block, f, "must be true", "set it")
				}
			}
		}
		for _, bucket := range all.of(gcpBucketType) {
			if f := bucket.inputs.at("publicAccessPrevention"); !open[bucket.parent] && j.sees(bucket, f, "set it to enforced") && f.text() != "enforced" {
				j.violates(bucket, f, "must be enforced", "set it")
			}
			if f := bucket.inputs.at("uniformBucketLevelAccess"); j.sees(bucket, f, "set it to true") && !f.yes() {
				j.violates(bucket, f, "must be true", "set it")
			}
		}
	},
}

// publicByPolicy are the settings that a bucket policy for everybody needs off.
var publicByPolicy = map[string]bool{"blockPublicPolicy": true, "restrictPublicBuckets": true}

// openOnPurpose are the components that publish the allow list to everybody, by urn.
func openOnPurpose(all stack) map[string]bool {
	open := map[string]bool{}
	for _, r := range all.of("sallyport:allowlistpublish:S3", "sallyport:allowlistpublish:GCS") {
		open[r.urn] = r.inputs.at("public").yes()
	}
	return open
}
