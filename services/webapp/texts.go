package webapp

// The texts of the pages /about and /privacy-policy where the provider has
// none of its own (Config.AboutFile, Config.PrivacyFile).
const (
	builtinAbout = `
This provider runs LEAP, for people who do not want to trust their provider
more than they must.

# What we cannot do

We cannot read your mail: what comes in is encrypted to your key before it is
stored, and what your devices synchronise is encrypted before it is sent to us.
We do not know your password: your client proves that it knows it, without
telling it.

# What we can do

We see who writes to you and when, because mail cannot be delivered otherwise,
and we see when your devices connect. We deliver, we store, we make copies
against loss, and we can close an account.

# What you should do

Keep your password, and more than one device. If you lose them all, nobody can
bring back what was encrypted.`

	builtinPrivacy = `
This is what the software of this provider stores, and for how long. The
provider may add a text of its own in this place.

# Your account

Your user name, the salt and the verifier of your password, from which the
password cannot be read, the times at which the account was made and changed,
your public keys, the fingerprints of the certificates by which your devices
send mail, and, if you give one, an address for contact. They are kept until
you delete the account.

# Your mail and your documents

They are stored encrypted to keys that only your devices have. We see their
number, their padded size and when they change. A message that waits for you
carries the hour of its arrival outside of the encryption.

# Connections

Network addresses are held in memory to limit the rate of requests and are
neither logged nor stored. An anonymous VPN certificate is not tied to an
account: we do not record to whom it was given.

# Questions to the support

They are stored until the support deletes them. They need no account and no
address.

# Deletion

Deleting your account deletes your addresses or blocks them, as you choose, and
destroys the database with all that belongs to you. Copies made against loss
are overwritten in turn.`
)
