#!/bin/sh
# The demonstration: the sample reports into a fresh store, and what fails alignment, and why.
# Usage: infra/demo.sh COMMAND [options]...   where COMMAND is dmarcops with the options that name its store
set -eu

cd "$(dirname "$0")/.."

"$@" ingest sample-reports/story sample-reports/awkward
printf '\nWhat failed DMARC alignment, by source:\n'
"$@" failures --limit 25
printf '\nAll mail, by domain:\n'
"$@" summary
cat <<END

Your own reports:  $1 ingest FOLDER-OR-MBOX-OR-ARCHIVE...
and then:          $1 failures --by source
END
