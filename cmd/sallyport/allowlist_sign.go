package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/minisign"
	"github.com/sallyport/sallyport/internal/problem"
)

const signLong = `

Keys and signatures are those of minisign, so partners may check with it or with this program:
  minisign -V -P RW... -m allowlist.json

The password of a key is in the file that SALLYPORT_SIGNING_PASSWORD_FILE names; a key without one needs none. Neither key nor password
is ever printed.

`

func newSignCommands() []*cobra.Command {
	return []*cobra.Command{newKeygenCommand(), newSignCommand(), newVerifySignatureCommand()}
}

func newKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key that signs documents: FILE is the secret key, FILE.pub the public one",
		Long:  "Make a key that signs documents: FILE is the secret key, readable by you alone, FILE.pub the public one, which is printed too." + signLong + exitCodes,
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			password, err := allowlist.ReadPassword()
			if err != nil {
				return err
			}
			key, err := minisign.Generate()
			if err != nil {
				return err
			}
			secret, err := key.File(password)
			if err != nil {
				return err
			}
			if err := createFile(args[0], secret, 0o600); err != nil {
				return err
			}
			if err := createFile(args[0]+".pub", []byte(key.Public().File()), 0o644); err != nil {
				return errors.Join(err, os.Remove(args[0]))
			}
			if len(password) == 0 {
				fmt.Fprintf(command.ErrOrStderr(), "the key has no password: %s is all that protects it\n", args[0]) //nolint:errcheck // a hint
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), key.Public())
			return err
		},
	}
}

// createFile writes a file that must not exist: a key must not be lost to a slip.
func createFile(path string, data []byte, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

func newSignCommand() *cobra.Command {
	var keyFile, output string
	command := &cobra.Command{
		Use:   "sign DOCUMENT",
		Short: "Sign a document for partners; writes DOCUMENT.minisig",
		Long:  "Sign a document. It has to be one that can be handed out: complete, and in order." + signLong + exitCodes,
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			data, err := readBounded(args[0])
			if err != nil {
				return err
			}
			document, err := allowlist.Parse(data)
			if err != nil {
				return fmt.Errorf("%s is no allow list that can be handed out\n%w", args[0], err)
			}
			key, err := readSigningKey(keyFile)
			if err != nil {
				return err
			}
			date := document.ValidFrom
			if date.IsZero() {
				if date, err = clock.Now(); err != nil {
					return err
				}
			}
			signature, err := key.Sign(data, allowlist.SignatureComment(document, filepath.Base(args[0]), date))
			if err != nil {
				return err
			}
			if output == "" {
				output = args[0] + ".minisig"
			}
			return os.WriteFile(output, signature, 0o644)
		},
	}
	command.Flags().StringVar(&keyFile, "key", "", "secret key `FILE` (default the file that SALLYPORT_SIGNING_KEY names)")
	command.Flags().StringVar(&output, "output", "", "write the signature to `FILE` (default DOCUMENT.minisig)")
	return command
}

func newVerifySignatureCommand() *cobra.Command {
	var public, signature string
	command := &cobra.Command{
		Use:   "verify-signature DOCUMENT",
		Short: "Check the signature of a document; exit code 0 if it is valid, 1 if it is not, 2 on errors",
		Long:  "Check the signature of a document, offline." + signLong + exitCodes,
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			text := []byte(public)
			if data, err := readBounded(public); err == nil {
				text = data
			}
			key, err := minisign.ParsePublicKey(string(text))
			if err != nil {
				return err
			}
			document, err := readBounded(args[0])
			if err != nil {
				return err
			}
			if signature == "" {
				signature = args[0] + ".minisig"
			}
			signed, err := readBounded(signature)
			if err != nil {
				return err
			}
			comment, err := key.Verify(document, signed)
			if errors.Is(err, minisign.ErrNotValid) {
				return exitError{code: 1, text: err.Error()}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "valid: %s\n", comment)
			return err
		},
	}
	command.Flags().StringVar(&public, "public-key", "", "public key: the line that starts with RW, or a `FILE`")
	command.Flags().StringVar(&signature, "signature", "", "signature `FILE` (default DOCUMENT.minisig)")
	_ = command.MarkFlagRequired("public-key") // the flag exists
	return command
}

// readSigningKey opens a secret key. No error shows any of it.
func readSigningKey(path string) (minisign.SecretKey, error) {
	if path == "" {
		path = os.Getenv(allowlist.SigningKeyEnv)
	}
	if path == "" {
		return minisign.SecretKey{}, fmt.Errorf("--key: needs the file of a secret key; `sallyport allowlist keygen` makes one")
	}
	data, err := readBounded(path)
	if err != nil {
		return minisign.SecretKey{}, err
	}
	password, err := allowlist.ReadPassword()
	if err != nil {
		return minisign.SecretKey{}, err
	}
	key, err := minisign.ParseSecretKey(data, password)
	if err != nil {
		return minisign.SecretKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// readBounded reads a file of a size that documents and keys have.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(file, problem.MaxBytes+1))
	if err == nil && len(data) > problem.MaxBytes {
		err = fmt.Errorf("%s: must not be larger than %d bytes", path, problem.MaxBytes)
	}
	return data, err
}
