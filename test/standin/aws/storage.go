package aws

import (
	"crypto/md5" //nolint:gosec // the etag of S3 is one
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// bucketName is S3's rule. S3 user guide, "Bucket naming rules", 2023-06-15.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// storageKinds are S3 and ECR.
func storageKinds() []kind {
	bucket := func(token string) kind {
		return kind{
			Token: token, ID: byProperty("bucket"), Autoname: "bucket", NameLimit: 63, Tagged: true, NotFound: "NoSuchBucket",
			Replace: []string{"bucket", "bucketPrefix"},
			Legal: func(in props) []string {
				if name, ok := in["bucket"].(string); ok && !bucketName.MatchString(name) {
					return []string{fmt.Sprintf("bucket: %q is no legal bucket name", name)}
				}
				return nil
			},
			Rules: []func(*tx, *object, *object) error{func(tx *tx, o, old *object) error {
				if old == nil && (tx.Find(bucketKind, o.ID) != nil || tx.Find(bucketV2Kind, o.ID) != nil) {
					return fmt.Errorf("BucketAlreadyExists: %s", o.ID)
				}
				return nil
			}},
			Outputs: func(tx *tx, o, _ *object) {
				o.Props["bucketDomainName"] = o.ID + ".s3.amazonaws.com"
				o.Props["bucketRegionalDomainName"] = o.ID + ".s3." + tx.Region + ".amazonaws.com"
				o.Props["region"] = tx.Region
			},
			Delete: emptied,
		}
	}
	return []kind{
		bucket(bucketV2Kind), bucket(bucketKind),
		ofBucket("aws:s3/bucketVersioningV2:BucketVersioningV2"),
		ofBucket("aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2"),
		ofBucket("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"),
		ofBucket("aws:s3/bucketPolicy:BucketPolicy"),
		ofBucket("aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2"),
		ofBucket("aws:s3/bucketOwnershipControls:BucketOwnershipControls"),
		ofBucket("aws:s3/bucketLoggingV2:BucketLoggingV2"),
		ofBucket("aws:s3/bucketNotification:BucketNotification"),
		bucketObject(objectV2Kind), bucketObject("aws:s3/bucketObject:BucketObject"),
		{
			Token: repositoryKind, ID: byProperty("name"), Autoname: "name", NameLimit: 256, Tagged: true, NotFound: "RepositoryNotFoundException",
			Defaults: props{"imageTagMutability": "MUTABLE"}, Replace: []string{"name", "encryptionConfigurations"},
			Outputs: func(tx *tx, o, _ *object) {
				o.Props["registryId"] = account
				o.Props["repositoryUrl"] = fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s", account, tx.Region, o.ID)
			},
		},
		{Token: "aws:ecr/lifecyclePolicy:LifecyclePolicy", ID: byProperty("repository"), Replace: []string{"repository", "policy"}, Refs: []ref{{Path: "repository", Kinds: []string{repositoryKind}, Weak: true}}},
		{Token: "aws:ecr/repositoryPolicy:RepositoryPolicy", ID: byProperty("repository"), Replace: []string{"repository"}, Refs: []ref{{Path: "repository", Kinds: []string{repositoryKind}, Weak: true}}},
	}
}

// ofBucket is a configuration of a bucket, at most one of a kind.
func ofBucket(token string) kind {
	return kind{
		Token: token, ID: byProperty("bucket"), Replace: []string{"bucket"},
		Refs: []ref{{Path: "bucket", Kinds: []string{bucketV2Kind, bucketKind}, Weak: true}},
	}
}

func bucketObject(token string) kind {
	return kind{
		Token: token, ID: joined("/", "bucket", "key"), Replace: []string{"bucket", "key"}, Tagged: true,
		Refs: []ref{{Path: "bucket", Kinds: []string{bucketV2Kind, bucketKind}, Weak: true}},
		Outputs: func(tx *tx, o, _ *object) {
			sum := md5.Sum([]byte(o.String("content") + o.String("contentBase64") + fmt.Sprint(o.Props["source"]))) //nolint:gosec // as above
			o.Props["etag"] = hex.EncodeToString(sum[:])
			o.Props["versionId"] = engine.Hex(32)
			o.Props["arn"] = "arn:aws:s3:::" + o.ID
			if o.Props["contentType"] == nil {
				o.Props["contentType"] = "application/octet-stream"
			}
			if o.Props["serverSideEncryption"] == nil {
				o.Props["serverSideEncryption"] = "AES256"
			}
		},
	}
}

// emptied refuses to delete a bucket that holds anything.
func emptied(tx *tx, o *object) error {
	if engine.Flag(o.Props, "forceDestroy") {
		return nil
	}
	for _, inside := range tx.All(objectV2Kind, "aws:s3/bucketObject:BucketObject") {
		if strings.HasPrefix(inside.ID, o.ID+"/") {
			return fmt.Errorf("BucketNotEmpty: the bucket %s is not empty: %s", o.ID, inside.ID)
		}
	}
	return nil
}
