"""The SQL store: tables, migrations, intake, ledger and views."""
