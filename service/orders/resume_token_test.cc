#include "service/orders/resume_token.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace orders {
namespace {

const std::string kHere = "0123456789abcdef0123456789abcdef";

TEST(ResumeToken, ReadsBackWhatItMade) {
  for (const std::int64_t position : {std::int64_t{0}, std::int64_t{1}, std::int64_t{123456789},
                                      std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(ReadToken(TokenKind::kWatch, kHere, MakeToken(TokenKind::kWatch, kHere, position)),
              position);
    EXPECT_EQ(ReadToken(TokenKind::kPage, kHere, MakeToken(TokenKind::kPage, kHere, position)),
              position);
  }
}

// Callers hold tokens across releases of this service.
TEST(ResumeToken, LooksAsItAlwaysDid) {
  EXPECT_EQ(MakeToken(TokenKind::kWatch, kHere, 42), "w42-c055bbae05593492");
  EXPECT_EQ(MakeToken(TokenKind::kPage, kHere, 42), "p42-fdb664ae2852d56b");
}

TEST(ResumeToken, OfTheOtherKindIsNone) {
  EXPECT_FALSE(ReadToken(TokenKind::kPage, kHere, MakeToken(TokenKind::kWatch, kHere, 7)));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, MakeToken(TokenKind::kPage, kHere, 7)));
}

TEST(ResumeToken, OfAnotherDatabaseIsNone) {
  const std::string there = "0123456789abcdef0123456789abcdee";
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, there, MakeToken(TokenKind::kWatch, kHere, 7)));
  EXPECT_FALSE(ReadToken(TokenKind::kPage, there, MakeToken(TokenKind::kPage, kHere, 7)));
}

TEST(ResumeToken, IsNoneWithAnyCharacterChanged) {
  const std::string token = MakeToken(TokenKind::kWatch, kHere, 1234567);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == '8' ? '9' : '8';
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, changed)) << changed;
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, token.substr(0, i))) << token.substr(0, i);
  }
}

TEST(ResumeToken, OfAnythingElseIsNone) {
  for (const std::string text : {"", "-", "w", "w-", "w1", "1", "start", "w1-", "w-1-0000",
                                 "w 1-0000", "w99999999999999999999-0000", "\xff\xfe-\x01"}) {
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, text)) << text;
  }
  const std::string token = MakeToken(TokenKind::kWatch, kHere, 5);
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, " " + token));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, token + " "));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, token + std::string(1, '\0')));
}

TEST(ResumeToken, OfANegativePositionIsNone) {
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, kHere, MakeToken(TokenKind::kWatch, kHere, -1)));
}

}  // namespace
}  // namespace orders
