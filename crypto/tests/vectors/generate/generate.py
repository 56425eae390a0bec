"""Writes the vectors: `python3 generate.py [FOLDER]`, by default ../v2 beside this folder."""

import pathlib
import sys

import cases_bad_manifest
import cases_bad_round
import cases_bad_study
import cases_chunks
import cases_cipher
import cases_closings
import cases_disputes
import cases_groups
import cases_judgement
import cases_keys
import cases_model
import cases_parts
import cases_privacy
import cases_proceedings
import cases_reserved
import cases_round
import cases_spoiled
import cases_statements
import output

if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "v2"
    folder.mkdir(parents=True, exist_ok=True)
    for cases in (
        cases_cipher,
        cases_chunks,
        cases_parts,
        cases_statements,
        cases_bad_study,
        cases_bad_manifest,
        cases_bad_round,
        cases_closings,
        cases_groups,
        cases_judgement,
        cases_disputes,
        cases_proceedings,
        cases_reserved,
        cases_privacy,
        cases_keys,
        cases_round,
        cases_model,
        cases_spoiled,
    ):
        cases.add_all()
    output.save(folder)
    print(f"{len(output.FILES)} files in {folder}")
