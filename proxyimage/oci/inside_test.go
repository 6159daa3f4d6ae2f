package oci

func runInside() bool { return false }
