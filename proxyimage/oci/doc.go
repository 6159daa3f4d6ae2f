// Package oci builds the proxy image without a container engine: the same bytes, and so the same digest, from the same inputs.
//
// Inputs are a lock file, which names every Debian package with version and sha256, and the static agent binary. The packages
// come through the machine's own apt, are checked against the lock and kept in a cache. Of their files only those are taken that
// the image needs (see keep): HAProxy, the libraries it loads, licences, the certificate bundle. So there is no shell, no package
// manager and no setuid file to remove.
//
// Outputs, below one directory:
//
//	oci     OCI image layout with one image index, for a registry (see Push)
//	rootfs  the files of one platform as a directory, for the lab
//
// Both are links to directories that carry the digest in their name. A build makes new ones and then moves the links, so that
// what runs from the old ones is not disturbed.
package oci
